//! How the scalar types look in OpenAPI 3.1.

use crate::{ByteSize, Code, Name, Revision, Secret, Uid};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

macro_rules! schema {
    ($type:ty, $builder:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $builder.build().into()
            }
        }
        impl ToSchema for $type {}
    };
}

schema!(
    Uid,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".into())))
        .description(Some("A UUIDv7"))
);
schema!(
    Name,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))
        .description(Some("A DNS label"))
);
schema!(
    Revision,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]+-[0-9]+$"))
        .description(Some("A revision of the store: incarnation-number"))
);
schema!(Secret, ObjectBuilder::new().schema_type(Type::String).write_only(true));
schema!(
    ByteSize,
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .description(Some("A number of bytes; requests may also write a text such as 4GiB"))
);
schema!(Code, ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Code::ALL.map(Code::as_str))));
