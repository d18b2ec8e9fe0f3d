"""Dask: the connection to a cluster, and training on partitions."""
