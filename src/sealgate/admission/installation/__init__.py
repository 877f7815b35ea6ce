"""What is put into a cluster, and taken away."""
