"""What every command needs: settings, ends, tables of text, files, locks and journals."""
