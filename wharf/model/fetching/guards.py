"""Guards against APIs that end early, or never: a fetch that is not whole fails, and says what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Endpoint
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.paging import Page, Request, page_said, pages_of, total_of

MAX_PAGES = 100_000


class Guard:
    """Watches the pages of one fetch: those of an endpoint, for one tenant and one record of its parent.

    Pages may come in any order. What earlier pages were is remembered as hashes of eight bytes; a fetch that is taken
    up again goes on with the `records` and `pages` it had, and knows of no earlier hashes.
    """

    def __init__(self, endpoint: Endpoint, *, records: int = 0, pages: int = 0, max_pages: int = MAX_PAGES) -> None:
        self.records = records
        self.pages = pages
        self._endpoint = endpoint
        self._max_pages = max_pages
        self._asked: dict[int, int] = {}  # hash -> the page's number
        self._bodies: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        self._total: int | None = None
        self._last = 0, 0  # the number of the last page, and of its records
        self._paths = [json_path(path) for path in endpoint.primary_key]

    def see(self, request: Request, page: Page, body: bytes) -> None:
        """Look at the page that answered `request`; `body` are its bytes.

        Raises: RunFailed if it was there before, or is not the one that was asked for.
        """
        self.pages += 1
        self.records += len(page.records)
        if self.pages > self._max_pages:
            raise self._failure(f"more than {self._max_pages} pages were answered: it does not end")
        self._last = max(self._last, (page.number, len(page.records)))
        self._check_number(request, page)
        if earlier := self._earlier(self._asked, hash(request.full_url), page):
            raise self._failure(
                f"page {page.number} is asked for as page {earlier} was: the answer to page {page.number - 1} leads "
                "back to it"
            )
        if page.records:
            self._check_repeated(page, body)
        if (total := total_of(self._endpoint, page)) is not None:
            # Records may come and go while pages are fetched: no more than the smallest number can be relied on.
            self._total = total if self._total is None else min(total, self._total)
        elif not page.records and page.number < (pages_of(self._endpoint, page) or 0):
            raise self._failure(f"page {page.number} holds no records, and the API says that more pages follow")

    def finish(self) -> None:
        """The last page was seen.

        Raises: RunFailed if the API said that there are more records.
        """
        if self._total is not None and self.records < self._total:
            number, size = self._last
            raise self._failure(
                f"{self.records} records came on {self.pages} pages, and the API says that there are {self._total}: "
                f"page {number}, with {size} records, led to no other"
            )

    def _check_number(self, request: Request, page: Page) -> None:
        said = page_said(self._endpoint, page)
        paging = self._endpoint.paging
        if said is None:
            return
        asked = int(dict(request.params)[paging.param]) if paging.kind == "page" else request.number + paging.first - 1
        if said != asked and page.records:
            raise self._failure(f"page {asked} was asked for, and the answer says that it is page {said}")

    def _check_repeated(self, page: Page, body: bytes) -> None:
        same = ""
        if earlier := self._earlier(self._bodies, hash(body), page):
            same = "byte for byte"
        elif self._paths and (keys := self._keys_of(page.records)):
            earlier = self._earlier(self._keys, hash(keys), page)
            same = "with the same keys"
        if earlier:
            raise self._failure(
                f"page {page.number} repeats page {earlier} {same} ({len(page.records)} records): "
                "the API does not follow the paging that is configured"
            )

    def _keys_of(self, records: Sequence[Mapping[str, Any]]) -> str:
        """The primary keys of `records`; empty if one has none, as then they say nothing."""
        keys = [path.firsts(records) for path in self._paths]
        return "" if any(None in column for column in keys) else repr(keys)

    def _earlier(self, seen: dict[int, int], hashed: int, page: Page) -> int:
        """The number of the page that had this hash, 0 if none had; remembers it."""
        earlier = seen.setdefault(hashed, page.number)
        return 0 if earlier == page.number else earlier

    def _failure(self, what: str) -> RunFailed:
        return RunFailed(f"endpoint {self._endpoint.name}: {what}")
