"""What people do with what is attached to an image: list, copy, save, load, download, attach and delete it."""
