"""Engines and weights. Importing anything of it keeps the libraries behind the engines from reporting home."""

from models.offline import send_no_reports

send_no_reports()
