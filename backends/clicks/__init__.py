"""Points and boxes to one mask on one frame: the helper for the first frame. No torch, no Label Studio."""
