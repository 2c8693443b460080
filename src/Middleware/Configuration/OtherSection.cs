namespace ByteStreams.Configuration;

/// <summary>A further section of the configuration, for the generated page and schema.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Described">The type with the constant that has the section's documentation.</param>
/// <param name="Constant">The constant's name.</param>
/// <param name="Table">Its keys.</param>
internal sealed record OtherSection(string Name, Type Described, string Constant, SettingTable Table);
