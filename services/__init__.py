"""The processes of the mesh: one package a service, and `mesh`, which all of them stand on."""
