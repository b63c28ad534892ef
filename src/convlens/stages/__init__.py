"""One module and one function per DVC stage; the only code that writes files."""
