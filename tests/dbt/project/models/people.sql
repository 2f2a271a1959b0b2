-- A model on models.
select
    built.person_key,
    coalesce(measured.results, 0) as results,
    (select count(*) from {{ ref('drugs') }} as taken where taken.person_key = built.person_key) as drugs
from {{ source('charthouse', 'built_people') }} as built
left join {{ ref('measured_people') }} as measured using (person_key)
