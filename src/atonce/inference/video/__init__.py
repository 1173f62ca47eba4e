"""Videos: frames read with their times, overlays written with the sound as it was."""
