"""The trunks that the networks of several rooms stand on: ImageNet backbones and the reader of their files."""
