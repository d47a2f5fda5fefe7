"""Which music fits pictures or a video: visuals, tracks, matching, scenes, pacing."""
