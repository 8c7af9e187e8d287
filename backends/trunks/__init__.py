"""The trunks that the networks of several rooms stand on: ImageNet backbones and readers of their files."""
