"""A correction becomes a served version: candidate, scores, gate, cycle. Label Studio is read elsewhere."""
