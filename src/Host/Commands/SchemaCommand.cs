namespace StreamsHost.Commands;

/// <summary>Prints the JSON schema of the configuration file, for editors and validators.</summary>
internal sealed class SchemaCommand : HostSubcommand
{
    public SchemaCommand()
        : base("schema", "Prints the JSON schema of the configuration file.", "schema > appsettings.schema.json") =>
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(ReadSchema()));

    public override bool TakesConfiguration => false;

    /// <summary>The library's schema with the host's own sections.</summary>
    private static string ReadSchema()
    {
        using Stream resource = typeof(SchemaCommand).Assembly.GetManifestResourceStream("appsettings.schema.json")!;
        using var reader = new StreamReader(resource);
        return reader.ReadToEnd();
    }
}
