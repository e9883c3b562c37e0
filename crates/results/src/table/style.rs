use comfy_table::{ContentArrangement, Table, presets};

/// A table `width` columns wide, or as wide as it gets.
pub(super) fn empty(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table
}
