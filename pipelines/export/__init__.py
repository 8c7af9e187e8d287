"""What people saved in Label Studio, taken out of it: read, judged, frozen in snapshots."""
