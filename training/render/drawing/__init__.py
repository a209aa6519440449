"""Drawing a scene: raster, shading, camera."""
