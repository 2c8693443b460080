using System.Text.RegularExpressions;
using Mono.Cecil;

namespace ByteStreams.Middleware.Tests;

/// <summary>The layers of docs/architecture.md: a type refers only to types of its own folder in src/Middleware and of folders below it.</summary>
public sealed partial class LayerTests
{
    /// <summary>Lowest first; folders of one layer do not refer to each other. The empty name is src/Middleware itself.</summary>
    private static readonly string[][] Layers =
    [
        ["Transport"], ["Streams"], ["Connections"], ["Tls", "ProxyProtocol", "Admission", "Timeouts", "Telemetry", "ByteLogging"],
        ["Client"], ["Server"], ["Relay"], ["Groups"], ["Configuration"], ["Hosting"], ["Web"], [string.Empty],
    ];

    /// <summary>The folder of each type, by its declaration.</summary>
    private static readonly Dictionary<string, string> Folders = (
        from path in Repository.Files("src/Middleware", "*.cs")
        from Match declaration in Declaration().Matches(Repository.Read($"src/Middleware/{path}"))
        select (Type: declaration.Groups["type"].Value, Folder: path.Contains('/', StringComparison.Ordinal) ? path.Split('/')[0] : string.Empty))
        .Distinct().ToDictionary(found => found.Type, found => found.Folder, StringComparer.Ordinal);

    private static readonly ModuleDefinition Library = ModuleDefinition.ReadModule(typeof(ByteStream).Assembly.Location);

    [Fact]
    public void Type_RefersToAType_ItIsOfTheSameFolderOrOfALowerLayer() => Assert.Empty(
        from type in Types()
        from other in References(type).Select(Outermost).OfType<TypeDefinition>().Distinct()
        where Folder(other) != Folder(type) && Layer(other) >= Layer(type)
        select $"{Folder(type)}/{type.Name} refers to {Folder(other)}/{other.Name}");

    [Fact]
    public void Type_IsDeclaredInAFolder_TheLayerOfWhichIsKnown() => Assert.Empty(Types().Where(type => Folder(type) is null || Layer(type) < 0).Select(type => type.FullName));

    private static IEnumerable<TypeDefinition> Types() => Library.Types.Where(type => !type.Name.StartsWith('<') && type.Namespace.Split('.')[0] is "ByteStreams" or "Microsoft");

    private static string? Folder(TypeDefinition type) => Folders.GetValueOrDefault(type.Name.Split('`')[0]);

    private static int Layer(TypeDefinition type) => Array.FindIndex(Layers, layer => layer.Contains(Folder(type)));

    private static TypeDefinition? Outermost(TypeReference reference) =>
        reference.DeclaringType is TypeReference outer ? Outermost(outer) : reference.GetElementType() is TypeDefinition definition ? definition : null;

    private static IEnumerable<TypeReference> References(TypeDefinition type) =>
        from reference in (TypeReference?[])
        [
            type.BaseType, .. type.Interfaces.Select(one => one.InterfaceType), .. type.Fields.Select(field => field.FieldType),
            .. type.Methods.SelectMany(Signature),
            .. type.Methods.Where(method => method.HasBody).SelectMany(method => method.Body.Instructions).SelectMany(instruction => instruction.Operand switch
            {
                MethodReference method => [method.DeclaringType, .. Signature(method), .. (method as GenericInstanceMethod)?.GenericArguments ?? []],
                FieldReference field => [field.DeclaringType, field.FieldType],
                TypeReference operand => [operand],
                _ => Array.Empty<TypeReference>(),
            }),
            .. type.NestedTypes.SelectMany(References),
        ]
        where reference is not null
        from part in (TypeReference[])[reference, .. (reference as GenericInstanceType)?.GenericArguments ?? []]
        select part;

    private static IEnumerable<TypeReference> Signature(IMethodSignature method) => [method.ReturnType, .. method.Parameters.Select(parameter => parameter.ParameterType)];

    [GeneratedRegex(@"^(?:public|internal)\b[\w ]*? (?:record struct|class|struct|interface|enum|record|delegate [\w<>\[\]?]+) (?<type>\w+)", RegexOptions.Multiline)]
    private static partial Regex Declaration();
}
