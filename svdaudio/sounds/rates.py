"""Sample rates: of the vocoder, and of the sounds that runs make of its waveforms."""

VOCODER_RATE_HZ = 16_000
OUTPUT_RATE_HZ = 22_050
