"""Product pictures as photos might show them: cut out, moved, lit and put on generated backgrounds."""
