"""What `maskloop up` starts and watches: processes, ports, locks, secrets, and what Label Studio is told."""
