"""What a rendered scene holds: hair, accessories, occluders, background."""
