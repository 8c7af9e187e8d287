"""The ground floor: value types, protocols, masks, frames, metrics, errors. No torch, Redis, Label Studio."""
