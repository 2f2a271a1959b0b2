-- What people take now: a model on a view of the records.
select person_key, drug, rxnorm_code, effective_start
from {{ source('charthouse', 'current_medications') }}
