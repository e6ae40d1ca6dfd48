"""YOLO: the objects of a picture."""
