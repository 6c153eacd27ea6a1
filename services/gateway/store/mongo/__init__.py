"""The stores in MongoDB, which several gateways may share."""
