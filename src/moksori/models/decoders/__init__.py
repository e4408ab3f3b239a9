"""What turns frames into waveforms, and how it is trained: VITS's decoder and the vocoders share it."""
