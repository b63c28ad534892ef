"""What one run has over another: revisions read, compared as plain values, shown as text or Markdown."""
