"""Room 1, video object segmentation: a mask on one frame becomes masks on every frame.

``backends.trunks`` (features) -> ``matching`` (isometric and local correlation) -> ``network`` (decoder, aggregation)
-> ``memory`` (the template of one clip) -> ``segmenter`` (a generator over frames); ``data``, ``losses`` and
``training`` make the weights.
"""
