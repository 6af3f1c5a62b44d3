"""The API server, with the rights of the user's kubeconfig."""
