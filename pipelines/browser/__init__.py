"""The annotator's chair: Label Studio's editor driven by mouse and keyboard in a real browser."""
