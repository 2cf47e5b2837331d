"""People's own data: FORM:PATH, with ?key=value where it needs one, or a path alone, whose content tells the form."""

from jaxgen.data.forms.own_data import OwnData
from jaxgen.data.forms.registry import FORMS, absolute, found, recognised

__all__ = ["FORMS", "OwnData", "absolute", "found", "recognised"]
