"""The contract: messages and stubs generated from `protos/vitrine/v1` by `make protos`."""
