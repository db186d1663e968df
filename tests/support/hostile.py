"""Text that would do harm wherever a page took it for markup."""

from __future__ import annotations

HOSTILE = "\"'></script><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>{{7*7}}"
