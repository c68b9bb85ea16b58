"""What several rooms need and what knows nothing of images, captions or models."""
