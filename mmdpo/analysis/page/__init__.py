"""The pages of a study: report.html, and report/ beside it with the browser of single items.

Pages are opened from the disk. They need neither a server nor a network, and hold no path of this machine.
"""
