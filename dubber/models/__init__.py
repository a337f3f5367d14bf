"""Networks and the linear face model; they know tensors, not files."""
