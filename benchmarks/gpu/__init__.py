"""A bare CUDA machine without a network: what it needs in one folder, and everything that is to be measured on it."""
