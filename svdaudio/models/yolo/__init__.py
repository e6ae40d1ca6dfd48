"""YOLO: detects the objects in a picture."""
