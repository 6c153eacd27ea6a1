"""Operations as methods, written once: in a `Client` they return, in an `AsyncClient` they are awaited."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from vitrine.client.operations import Operation, Page, Timeouts

if TYPE_CHECKING:
    from vitrine.client.asynchronous import AsyncClient
    from vitrine.client.synchronous import Client

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Call(Generic[Parameters, Result]):
    """A method that does one operation."""

    def __init__(
        self, operation: Callable[Concatenate[str, Timeouts, Parameters], Operation[Any, Result]]
    ) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__
        self.__signature__ = _signature(operation)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[Parameters, Result]: ...
    @overload
    def __get__(
        self, client: AsyncClient, owner: type
    ) -> Callable[Parameters, Coroutine[Any, Any, Result]]: ...

    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        if client is None:
            return self

        def method(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
            return client.run(self._operation(client.catalog, client.timeouts, *args, **kwargs))

        return _described(method, self)


class Listing(Generic[Parameters, Item]):
    """A method that yields the items of all pages, which it asks for as they are needed."""

    def __init__(
        self, operation: Callable[Concatenate[str, Timeouts, str, Parameters], Operation[Any, Page[Item]]]
    ) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__
        self.__signature__ = _signature(operation)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[Parameters, Iterator[Item]]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[Parameters, AsyncIterator[Item]]: ...

    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        if client is None:
            return self

        def method(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
            return client.items(
                lambda token: self._operation(client.catalog, client.timeouts, token, *args, **kwargs)
            )

        return _described(method, self)


def _signature(operation: Callable[..., Any]) -> inspect.Signature:
    """What a caller gives: the positional-only parameters are what the client itself gives."""
    signature = inspect.signature(operation)
    given = [each for each in signature.parameters.values() if each.kind is not each.POSITIONAL_ONLY]
    return signature.replace(parameters=given, return_annotation=inspect.Signature.empty)


def _described(method: Callable[..., Any], of: Call[..., Any] | Listing[..., Any]) -> Callable[..., Any]:
    """The method with what `help` shows."""
    method.__doc__ = of.__doc__
    vars(method)["__signature__"] = of.__signature__
    return method
