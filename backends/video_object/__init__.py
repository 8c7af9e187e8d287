"""Room 1, video object segmentation: a mask on one frame becomes masks on every frame.

``backends.trunks`` (features) -> ``matching`` (isometric and local correlation), ``template``, ``centres`` ->
``decoder``, ``network`` -> ``memory`` (what one clip gives) -> ``segmenter`` (a generator over frames).
``sequences``, ``stills``, ``sampling``, ``losses``, ``training`` and ``run_folder`` make the weights.
"""
