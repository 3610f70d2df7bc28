"""The edge update of a layer in few kernels, with edge features and messages in half precision."""
