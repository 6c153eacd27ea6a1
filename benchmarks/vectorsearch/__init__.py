"""The vectorsearch service against FAISS used plainly, and against its peers."""
