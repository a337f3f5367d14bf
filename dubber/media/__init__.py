"""Video and audio files; the only importers of av, ffmpeg and soundfile."""
