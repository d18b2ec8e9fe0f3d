"""A tracking server: whether it can be used, and what its refusals mean."""

import os
import re
import time
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from tabular import cancel
from tabular.errors import UserError, one_line
from tabular.tracking import store

ANSWER_SECONDS = 6  # that a server may take for one response
RETRY_SECONDS = 8  # for all attempts: a script gives up within ten, two of which are its start
API = "/api/2.0/mlflow"
EXPERIMENTS, REGISTERED_MODELS = "experiments", "registered-models"
NO_MODEL = f"{API}/logged-models/m-{'0' * 32}"  # a server of MLflow 3 says that there is none


def require_server(uri: str, where: str, kind: str = EXPERIMENTS) -> None:
    """Raise ``UserError`` unless a server can be used; MLflow would try for minutes.

    Args:
        uri: its address.
        where: how a message names it: its variable and address, without secrets.
        kind: what is asked for, of which any user may see one: ``EXPERIMENTS``, or
            ``REGISTERED_MODELS`` of a registry.
    """
    try:
        response = _ask(uri, f"{API}/{kind}/search?max_results=1")
        _require_api(response, kind)
    except UserError as error:
        raise UserError(f"{where} {error.format_message()}{_describe_proxy(uri)}") from None


def _require_api(response: requests.Response, kind: str) -> None:
    if response.status_code != 200:
        raise UserError(explain_http_status(response.status_code, response.text))
    try:
        found = response.json()
    except requests.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or (found and kind.replace("-", "_") not in found):
        raise UserError(
            "answers, but not as an MLflow server does: the address is that of another web server "
            "or of a login page, or lacks a path"
        )


def require_logged_models(uri: str, where: str) -> None:
    """Raise ``UserError`` if a server that answers does not know the models that MLflow 3 logs.

    Args:
        uri: its address.
        where: how a message names it.
    """
    response = _ask(uri, NO_MODEL)
    if response.status_code in (404, 405) and "RESOURCE_DOES_NOT_EXIST" not in response.text:
        raise UserError(
            f"{where} is of an MLflow before 3.0, or not complete, and cannot store the models "
            f"that MLflow {mlflow.__version__} logs: upgrade the server, or name another"
        )


def _ask(uri: str, path: str) -> requests.Response:
    """Ask a server; again after an error of its own."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        cancel.check()
        try:
            response = http_request(
                get_default_host_creds(uri),
                path,
                "GET",
                max_retries=0,
                timeout=min(ANSWER_SECONDS, deadline - time.monotonic()),
                raise_on_status=False,
            )
        except MlflowException as error:
            raise UserError(_explain_silence(str(error))) from None
        if response.status_code < 500 or time.monotonic() > deadline - 1:
            return response
        time.sleep(0.5)


def _explain_silence(reason: str) -> str:
    """Why there is no answer, as the predicate of a sentence."""
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            "has a certificate that is not trusted here: name the file of its authority with "
            "MLFLOW_TRACKING_SERVER_CERT_PATH"
        )
    if "SSLError" in reason:
        return "does not speak HTTPS: is its address http://?"
    timed_out = "timed out" in reason.lower()
    silent = f"did not answer within {ANSWER_SECONDS} seconds" if timed_out else "does not answer"
    return f"{silent}; is the address right and the server running (mlflow server --host 0.0.0.0)?"


def _describe_proxy(uri: str) -> str:
    """The proxy that requests to a server go through, and how to go without, or nothing."""
    host = urlsplit(uri).hostname or ""
    proxies = requests.utils.get_environ_proxies(uri)
    proxy = requests.utils.select_proxy(uri, proxies)
    if not proxy:
        return ""
    names = [f"{urlsplit(uri).scheme.lower()}_proxy", "all_proxy"]
    variable = next((name for name in os.environ if name.lower() in names), "the system's settings")
    shown = re.sub(r"(?<=://).*@", "", proxy)  # without user and password
    return (
        f" (the request went through the proxy {shown} of {variable}: add {host} to NO_PROXY if "
        "the server must be reached without it)"
    )


def explain_http_status(status: int, text: str = "") -> str:
    """What a server's refusal means and what to do about it, as the predicate of a sentence."""
    reasons = {
        401: "refuses user and password: set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD to an account of the server",
        403: "refuses permission: ask its administrator for EDIT on experiment and model, or "
        "choose an experiment of yours with MLFLOW_EXPERIMENT_NAME",
    }
    if status == 403 and "host" in text.lower():
        name = "<the name in the address>"
        return f"does not take this host name: start the server with --allowed-hosts {name}"
    return reasons.get(status, f"answers with HTTP status {status}: {one_line(text)[:200]}")


def explain(error: MlflowException) -> str:
    """What an error of MLflow's client means, as the predicate of a sentence."""
    if store.is_permission_denied(error):
        return explain_http_status(403)
    return f"cannot be used: {one_line(error)[:300]}"
