"""Labelled data of others on their way into Label Studio: readers of four layouts, tasks made of them."""
