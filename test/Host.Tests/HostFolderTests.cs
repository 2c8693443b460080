using Mono.Cecil;
using Mono.Cecil.Cil;
using StreamsHost.Hosting;

namespace StreamsHost.Tests;

/// <summary>Each folder of src/Host is a namespace, and uses only the folders before it.</summary>
public class HostFolderTests
{
    private const string Root = "StreamsHost";

    private static readonly string[] Order = ["Configuration", "Output", "Handlers", "Admin", "Status", "Hosting", "Lifetime", "Commands"];

    [Fact]
    public void Types_OfEachFolder_UseOnlyFoldersBeforeTheirs()
    {
        using var host = ModuleDefinition.ReadModule(typeof(HostApplication).Assembly.Location);
        var wrong = new SortedSet<string>(StringComparer.Ordinal);
        foreach (TypeDefinition type in host.GetTypes())
        {
            int own = Place(type);
            foreach (TypeReference used in Used(type).SelectMany(Parts))
            {
                if (own >= 0 && Place(used) > own)
                {
                    wrong.Add($"{Outermost(type).FullName} uses {Outermost(used).FullName}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void Types_OfTheHost_AreInAFolder()
    {
        using var host = ModuleDefinition.ReadModule(typeof(HostApplication).Assembly.Location);

        Assert.Empty(host.Types
            .Where(type => type.Namespace.StartsWith(Root, StringComparison.Ordinal) && Place(type) < 0)
            .Select(type => type.FullName));
    }

    /// <summary>The folder's place in the order; -1 outside of the host's folders.</summary>
    private static int Place(TypeReference type) =>
        Outermost(type).Namespace is { } space && space.StartsWith(Root + ".", StringComparison.Ordinal) ? Array.IndexOf(Order, space[(Root.Length + 1)..]) : -1;

    private static TypeReference Outermost(TypeReference type) => type.DeclaringType is TypeReference outer ? Outermost(outer) : type;

    private static IEnumerable<TypeReference> Used(TypeDefinition type) =>
    [
        .. type.BaseType is TypeReference @base ? [@base] : (TypeReference[])[],
        .. type.Interfaces.Select(implemented => implemented.InterfaceType),
        .. type.Fields.Select(field => field.FieldType),
        .. type.Methods.SelectMany(method => method.Parameters.Select(parameter => parameter.ParameterType).Append(method.ReturnType)),
        .. type.Methods.Where(method => method.HasBody).SelectMany(method => method.Body.Variables.Select(variable => variable.VariableType)),
        .. type.Methods.Where(method => method.HasBody).SelectMany(method => method.Body.Instructions).SelectMany(Operands),
    ];

    private static IEnumerable<TypeReference> Operands(Instruction instruction) => instruction.Operand switch
    {
        TypeReference type => [type],
        GenericInstanceMethod method => [method.DeclaringType, method.ReturnType, .. method.GenericArguments],
        MethodReference method => [method.DeclaringType, method.ReturnType],
        FieldReference field => [field.DeclaringType, field.FieldType],
        _ => [],
    };

    /// <summary>The type without array or by-reference, and its generic arguments.</summary>
    private static IEnumerable<TypeReference> Parts(TypeReference type) => type switch
    {
        GenericInstanceType generic => [generic.ElementType, .. generic.GenericArguments.SelectMany(Parts)],
        TypeSpecification specified => Parts(specified.ElementType),
        _ => [type],
    };
}
