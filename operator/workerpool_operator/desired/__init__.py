"""What Kubernetes should hold for a pool, as plain documents: built, merged with the user's part, compared. Pure."""
