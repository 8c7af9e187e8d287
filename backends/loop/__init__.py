"""The loop's files of one project: policy, frozen held-out list, cycles. No torch, no Label Studio."""
