"""The ground floor: value types, protocols, masks, frames, metrics, errors. No torch, no Label Studio, no Redis."""
