"""What is shipped besides the packages: images, compose file, Kubernetes manifests, and the rules they are held to."""
