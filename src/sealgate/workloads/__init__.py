"""Images that workloads run: found in Kubernetes manifests and Dockerfiles. Pure: text in, image names out."""
